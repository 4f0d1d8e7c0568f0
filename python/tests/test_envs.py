"""Environments under Gymnasium's and Stable-Baselines3's own checkers, and against each other."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common import env_checker

import kisim
from conftest import ROOT, autoscaling

# What the checkers may warn of: bounds are the physical ones, as in Gymnasium's own versions. Velocities of CartPole have
# none, and Pendulum's torque is in N·m. Warnings of anything else are errors.
EXPECTED = {
    "CartPole-v1": r".*Box observation space (min|max)imum value is -?infinity.*",
    "Pendulum-v1": r".*a symmetric and normalized.*",
}

MAKERS = {
    "CartPole-v1": lambda: kisim.make("CartPole-v1"),
    "Pendulum-v1": lambda: kisim.make("Pendulum-v1"),
    "Autoscaling-v0": lambda: kisim.make(autoscaling()),
}


@pytest.mark.parametrize("check", [check_env, env_checker.check_env], ids=["gymnasium", "stable-baselines"])
@pytest.mark.parametrize("name", MAKERS)
def test_checkers(name, check):
    with warnings.catch_warnings():
        if name in EXPECTED:
            warnings.filterwarnings("ignore", message=EXPECTED[name])
        check(MAKERS[name]())


def test_spaces_are_gymnasiums():
    for name in ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "Pendulum-v1"):
        ours, theirs = kisim.make(name), gymnasium.make(name)
        assert ours.observation_space == theirs.observation_space
        assert ours.action_space == theirs.action_space
        assert ours.spec.max_episode_steps == theirs.spec.max_episode_steps
        assert ours.spec.reward_threshold == theirs.spec.reward_threshold


def episode(env, seed=None, actions=None):
    """Rewards and observations of an episode under actions that are drawn from the space, or given."""
    env.action_space.seed(3)
    observation, info = env.reset(seed=seed)
    rows = []
    while True:
        rows.append(observation)
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        rows.append([reward])
        if terminated or truncated:
            return np.concatenate(rows + [observation])


@pytest.mark.parametrize("name", MAKERS)
def test_equal_numbers_give_equal_episodes(name):
    env, other = MAKERS[name](), MAKERS[name]()
    first, second = episode(env, seed=5), episode(env)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(episode(other, seed=5), first)
    np.testing.assert_array_equal(episode(other), second)
    np.testing.assert_array_equal(episode(other, seed=5), first)


def test_an_episode_is_a_run():
    # Of its own seed: for others an environment keeps the typical requests that flows were compiled with.
    scenario = autoscaling()
    env = kisim.make(scenario)
    observation, info = env.reset(seed=scenario.seed)
    seen, done = [], False

    def agent(observed, mask):
        seen.append((observed, mask))
        return 2 + (len(seen) % 10 == 3)

    kisim.run(scenario, agent=agent)
    for n, (observed, mask) in enumerate(seen):
        assert not done
        np.testing.assert_array_equal(observation, observed)
        np.testing.assert_array_equal(info["action_mask"], mask)
        observation, reward, terminated, done, info = env.step([2 + ((n + 1) % 10 == 3)])
        assert not terminated and set(info["costs"]) == {"cost", "slo"}
    assert done


def test_masks():
    env = kisim.make(autoscaling())
    _, info = env.reset(seed=0)
    for _ in range(10):
        mask = env.action_masks()
        np.testing.assert_array_equal(mask, info["action_mask"])
        assert mask.dtype == bool and mask.shape == (5,) and mask[2]
        _, _, _, _, info = env.step([int(np.flatnonzero(mask)[-1])])
    assert not env.action_masks()[3:].any()  # at maxReplicas nothing goes up
    assert kisim.make("CartPole-v1").action_masks().tolist() == [True, True]


VECTOR_MAKERS = {
    "CartPole-v1": ["CartPole-v1"],
    "Autoscaling-v0": [autoscaling("10m")],
    "MaskedActions-v0": ["MaskedActions-v0"],
    "IdentityMultiDiscrete-v0": ["IdentityMultiDiscrete-v0"],
}


def assert_same(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert_same(ours[key], theirs[key])
    elif ours.dtype == object:
        for a, b in zip(ours, theirs):
            np.testing.assert_array_equal(a, b)
    else:
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("name", VECTOR_MAKERS)
def test_vector_environments_are_single_ones_step_by_step(name, mode):
    what, n = VECTOR_MAKERS[name][0], 3
    ours = kisim.make_vec(what, n, threads=2, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: kisim.make(what)] * n, autoreset_mode=mode)
    assert ours.metadata["autoreset_mode"] is mode
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space

    mine, yours = ours.reset(seed=4), theirs.reset(seed=4)
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(210):
        assert_same(mine[0], yours[0])
        assert_same(mine[-1], yours[-1])
        actions = np.zeros(ours.action_space.shape, dtype=ours.action_space.dtype)
        for i, mask in enumerate(ours.action_masks()):
            actions[i] = chosen(rng, ours.single_action_space, mask)
        mine, yours = ours.step(actions), theirs.step(actions)
        for a, b in zip(mine[:4], yours[:4]):
            assert_same(a, b)
        if mode == AutoresetMode.SAME_STEP and "final_info" in yours[-1]:
            # The mask of an observation after which nothing is chosen is not kept.
            for key in ("action_mask", "_action_mask"):
                yours[-1]["final_info"].pop(key, None)
        done = mine[2] | mine[3]
        ended += done.sum()
        if mode == AutoresetMode.DISABLED and done.any():
            assert_same(mine[-1], yours[-1])
            mine = ours.reset(options={"reset_mask": done})
            yours = theirs.reset(options={"reset_mask": done})
    assert ended > n


def chosen(rng, space, mask):
    """Any allowed action."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return rng.choice(np.flatnonzero(mask))
    parts = np.split(mask, np.cumsum(space.nvec)[:-1])
    return [rng.choice(np.flatnonzero(part)) for part in parts]


def test_threads_change_nothing_and_copies_are_the_callers():
    outcomes = []
    for threads in (1, 2, 4):
        env = kisim.make_vec(autoscaling("10m"), 4, threads=threads)
        rows = [env.reset(seed=1)[0]]
        for t in range(30):
            rows.append(env.step(np.full((4, 1), 2 + (t % 3 == 0)))[0])
        outcomes.append(np.array(rows))
        assert not np.array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(outcomes[0], outcomes[1])
    np.testing.assert_array_equal(outcomes[0], outcomes[2])

    shared = kisim.make_vec("CartPole-v1", 2, copy=False)
    before = shared.reset(seed=0)[0]
    assert shared.step([0, 1])[0] is before


def test_seeds_of_vector_environments():
    env = kisim.make_vec("CartPole-v1", 3)
    first = env.reset(seed=[7, 5, 7])[0]
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_array_equal(first[1], kisim.make("CartPole-v1").reset(seed=5)[0])
    following = env.reset()[0]
    assert not np.array_equal(following, first)
    env.reset(seed=[7, 5, 7])
    np.testing.assert_array_equal(env.reset()[0], following)


def test_variations_and_rewards():
    scenario = autoscaling("10m")
    varied = kisim.make(scenario, variation={"load": (0.5, 2), "metrics_noise": (0, 0.1)})
    first = varied.reset(seed=1)[0]
    assert not np.array_equal(first, kisim.make(scenario).reset(seed=1)[0])
    np.testing.assert_array_equal(first, varied.reset(seed=1)[0])

    plain, dear = kisim.make(scenario, slo=0, churn=0), kisim.make(scenario, cost=2, slo=0, churn=0)
    plain.reset(seed=1), dear.reset(seed=1)
    for _ in range(10):
        _, reward, _, _, info = plain.step([2])
        assert reward == -info["costs"]["cost"] < 0
        assert dear.step([2])[1] == 2 * reward


def test_errors():
    with pytest.raises(kisim.UsageError, match="found 'CartPole-v7', allowed: .*did you mean 'CartPole-v"):
        kisim.make("CartPole-v7")
    with pytest.raises(kisim.UsageError, match="slo"):
        kisim.make("CartPole-v1", slo=1)
    with pytest.raises(TypeError, match="sloo"):
        kisim.make(autoscaling(), sloo=1)
    with pytest.raises(kisim.UsageError, match="variation: found 'loads'.*load"):
        kisim.make(autoscaling(), variation={"loads": (1, 2)})
    with pytest.raises(kisim.UsageError, match="variation: found load from 2 to 1"):
        kisim.make(autoscaling(), variation={"load": (2, 1)})
    with pytest.raises(kisim.UsageError, match="kiscaler: found 'wave', allowed: .*ramp"):
        kisim.make(autoscaling(), kiscaler="wave")
    with pytest.raises(kisim.InputError, match="spec.policies.agents: missing"):
        kisim.make(ROOT / "scenarios/quickstart.yaml")
    with pytest.raises(kisim.IoError, match="no-such.yaml"):
        kisim.make("no-such.yaml")
    with pytest.raises(kisim.UsageError, match="autoreset_mode: found 'LATER', allowed: NEXT_STEP"):
        kisim.make_vec("CartPole-v1", 2, autoreset_mode="LATER")
    with pytest.raises(kisim.UsageError, match="num_envs"):
        kisim.make_vec("CartPole-v1", 0)

    env = kisim.make("CartPole-v1")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(kisim.UsageError, match="action: found 2, allowed: integers from 0 to 1"):
        env.step(2)
    while not env.step(0)[2]:
        pass
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)

    vector = kisim.make_vec("CartPole-v1", 2)
    with pytest.raises(gymnasium.error.ResetNeeded):
        vector.step([0, 0])
    vector.reset(seed=0)
    with pytest.raises(kisim.UsageError, match="found 3 numbers, allowed: 2"):
        vector.step([0, 0, 0])
    with pytest.raises(kisim.UsageError, match="DISABLED"):
        vector.reset(options={"reset_mask": np.array([True, False])})


def test_stable_baselines_learns():
    env = kisim.make(autoscaling("1h"))
    model = PPO("MlpPolicy", env, n_steps=1000, batch_size=250, n_epochs=5, gamma=0.97, seed=1, device="cpu")

    def mean_return():
        returns = []
        for seed in range(100, 105):
            observation, _ = env.reset(seed=seed)
            total, ended = 0.0, False
            while not ended:
                action, _ = model.predict(observation, deterministic=True)
                observation, reward, _, ended, _ = env.step(action)
                total += reward
            returns.append(total)
        return np.mean(returns)

    before = mean_return()
    model.learn(20_000)
    after = mean_return()
    assert after > before
