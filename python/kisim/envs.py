"""Environments of kisim under Gymnasium's interfaces."""

from __future__ import annotations

import os
import warnings
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from . import _core
from ._optional import need
from .errors import UsageError
from .scenario import PathLike, Scenario

gymnasium = need("gymnasium", "gym", "an environment")
if not hasattr(gymnasium.vector, "AutoresetMode"):
    raise ImportError(f"kisim needs gymnasium 1.1 or later, found {gymnasium.__version__}")

from gymnasium import spaces  # noqa: E402
from gymnasium.envs.registration import EnvSpec  # noqa: E402
from gymnasium.error import ResetNeeded  # noqa: E402
from gymnasium.vector import AutoresetMode  # noqa: E402

#: "CartPole-v1", a file of kind Training, or one or several scenarios with an agent that has no policy
EnvLike = Union[str, PathLike, Scenario, Sequence[Union[Scenario, PathLike]]]


class Env(gymnasium.Env):
    """One environment.

    Observations are float32 arrays; `feature_names` says what each element is. Rewards are floats. info holds, where
    the environment has them, "action_mask" (bool, a flag for each choice of each component in turn) and "costs" (by
    name, of the last step).

    `reset(seed=s)` begins episode 0 of the seed s, each `reset()` after it the next episode: equal numbers give equal
    episodes, whatever came before.
    """

    metadata: Dict[str, Any] = {"render_modes": []}

    def __init__(self, core: "_core.Env"):
        self._core = core
        about = core.spec()
        self.feature_names: List[str] = about["features"]
        self.observation_space = _observation_space(about)
        self.action_space = _action_space(about)
        self._masked: bool = about["masked"]
        self._costs: List[str] = about["costs"]
        self._episode_seed: Optional[int] = None
        self._episode = 0
        self._running = False

    def reset(
        self, *, seed: Optional[int] = None, options: Optional[Dict[str, Any]] = None
    ) -> Tuple[np.ndarray, Dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None or self._episode_seed is None:
            self._episode_seed = seed if seed is not None else _drawn_seed(self.np_random)
            self._episode = 0
        else:
            self._episode += 1
        observation = self._core.reset(self._episode_seed, self._episode)
        self._running = True
        return observation, self._info()

    def step(self, action: Any) -> Tuple[np.ndarray, float, bool, bool, Dict[str, Any]]:
        """Raises ResetNeeded where no episode is running, UsageError for an action that is not in the space."""
        if not self._running:
            raise ResetNeeded("the episode has ended, or none has begun: call reset()")
        observation, reward, terminated, truncated = self._core.step(action)
        self._running = not (terminated or truncated)
        info = self._info()
        if self._costs:
            info["costs"] = dict(zip(self._costs, self._core.costs()))
        return observation, reward, terminated, truncated, info

    def action_masks(self) -> np.ndarray:
        """What is allowed now, bool[choices of all components]: the convention of sb3-contrib."""
        return self._core.mask()

    def _info(self) -> Dict[str, Any]:
        return {"action_mask": self._core.mask()} if self._masked else {}


class VectorEnv(gymnasium.vector.VectorEnv):
    """Several environments of one kind, stepped by native threads without Python in between.

    Environment i of `reset(seed=s)` goes through the episodes that an Env goes through after `reset(seed=s + i)`, and
    each autoreset begins the next one. What the modes do, and the form of the infos, is as in Gymnasium's
    SyncVectorEnv; metadata["autoreset_mode"] tells the mode.

    With copy=False, reset and step return the arrays in which the environments write: the next step overwrites them.
    """

    def __init__(self, core: "_core.VectorEnv", num_envs: int, autoreset_mode: AutoresetMode, copy: bool = True):
        self._core = core
        about = core.spec()
        self.num_envs = num_envs
        self.metadata = {"render_modes": [], "autoreset_mode": autoreset_mode}
        self.autoreset_mode = autoreset_mode
        self.copy = copy
        self.feature_names: List[str] = about["features"]
        self.single_observation_space = _observation_space(about)
        self.single_action_space = _action_space(about)
        batch = gymnasium.vector.utils.batch_space
        self.observation_space = batch(self.single_observation_space, num_envs)
        self.action_space = batch(self.single_action_space, num_envs)
        self._masked: bool = about["masked"]
        self._cost_names: List[str] = about["costs"]
        self._begun = False
        self._ended = np.zeros(num_envs, dtype=bool)

    def reset(
        self,
        *,
        seed: Union[int, Sequence[int], None] = None,
        options: Optional[Dict[str, Any]] = None,
    ) -> Tuple[np.ndarray, Dict[str, Any]]:
        """Begins episodes: of seed, seed + 1 …, or of each environment's own seed in a sequence; without any, of seeds
        that follow from the last ones. With AutoresetMode.DISABLED, options={"reset_mask": bool[num_envs]} begins the
        next episode of the chosen ones."""
        which = (options or {}).get("reset_mask")
        if which is not None:
            return self._reset_some(np.asarray(which), seed)
        super().reset(seed=seed if seed is None or isinstance(seed, (int, np.integer)) else int(seed[0]))
        if seed is None:
            seed = _drawn_seed(self.np_random)
        seeds = [int(seed) + i for i in range(self.num_envs)] if isinstance(seed, (int, np.integer)) else list(seed)
        if len(seeds) != self.num_envs:
            raise UsageError(f"seed: found {len(seeds)} seeds, allowed: one for each of {self.num_envs} environments")
        self._core.reset(seeds)
        self._begun = True
        self._ended[:] = False
        return self._out(self._core.observations), self._infos(np.ones(self.num_envs, dtype=bool))

    def step(self, actions: Any) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Dict[str, Any]]:
        core = self._core
        if not self._begun or (self.autoreset_mode == AutoresetMode.DISABLED and self._ended.any()):
            raise ResetNeeded("an episode has ended, or none has begun: call reset()")
        begins = self._ended.copy() if self.autoreset_mode == AutoresetMode.NEXT_STEP else np.zeros_like(self._ended)
        core.step(actions)
        np.logical_or(core.terminated, core.truncated, out=self._ended)
        infos: Dict[str, Any] = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and self._ended.any():
            begins = self._ended
            infos = self._final_infos()
        infos.update(self._infos(np.ones(self.num_envs, dtype=bool)))
        self._add_costs(infos, ~begins)
        return (
            self._out(core.observations),
            self._out(core.rewards),
            self._out(core.terminated),
            self._out(core.truncated),
            infos,
        )

    def action_masks(self) -> np.ndarray:
        """What is allowed now: bool[num_envs, choices of all components]."""
        if self._masked:
            return self._core.masks.copy()
        return np.ones_like(self._core.masks)

    def _reset_some(self, which: np.ndarray, seed: Any) -> Tuple[np.ndarray, Dict[str, Any]]:
        if self.autoreset_mode != AutoresetMode.DISABLED:
            raise UsageError("reset_mask: allowed only with AutoresetMode.DISABLED")
        if seed is not None:
            raise UsageError("reset_mask: those that are chosen go on with their own seeds, found another seed")
        if which.shape != (self.num_envs,) or which.dtype != bool or not which.any():
            raise UsageError(f"reset_mask: found {which!r}, allowed: bool[{self.num_envs}], one of them true")
        if not self._begun:
            raise ResetNeeded("no episode has begun: call reset()")
        self._core.reset_some(which)
        self._ended[which] = False
        return self._out(self._core.observations), self._infos(which)

    def _infos(self, of: np.ndarray) -> Dict[str, Any]:
        if not self._masked:
            return {}
        masks = np.where(of[:, None], self._core.masks, False)
        return {"action_mask": masks, "_action_mask": of.copy()}

    def _add_costs(self, infos: Dict[str, Any], of: np.ndarray) -> None:
        if not self._cost_names or not of.any():
            return
        costs: Dict[str, Any] = {}
        for k, name in enumerate(self._cost_names):
            costs[name] = np.where(of, self._core.costs[:, k], 0.0)
            costs["_" + name] = of.copy()
        infos["costs"] = costs
        infos["_costs"] = of.copy()

    def _final_infos(self) -> Dict[str, Any]:
        ended = self._ended
        final_obs = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended):
            final_obs[i] = self._core.final_observations[i].copy()
        final_info: Dict[str, Any] = {}
        self._add_costs(final_info, ended)
        return {
            "final_obs": final_obs,
            "_final_obs": ended.copy(),
            "final_info": final_info,
            "_final_info": ended.copy(),
        }

    def _out(self, array: np.ndarray) -> np.ndarray:
        return array.copy() if self.copy else array


def make(env: EnvLike, **options: Any) -> Env:
    """Makes an environment.

    Args:
        env: a name (`kisim.env_names()`); a file of kind Training; or a scenario, or several of them, whose agent
            (`policies.agents`) has no policy: the autoscaling environment, of which each episode is a run.
        options: only with scenarios.
            agent: name of the agent, where there are several;
            cost, penalty, slo, churn: weights of the reward, by default 1, 0, 4 and 0.05;
            replica_prices: of a replica and hour beside its GPUs, by workload of the agent;
            kiscaler: KIScaler's published reward for one of its patterns instead;
            variation: what each episode draws, by name a pair (least, most): load, service, startup,
            failures (factors), metrics_delay (s), metrics_noise, metrics_dropout;
            in_turn: of several scenarios each in turn, not by chance.

    Raises:
        InputError: a scenario cannot be used. UsageError: an unknown name or option.
    """
    made = Env(_core.Env(_source(env, options)))
    made.spec = _spec(made, env, options)
    return made


def make_vec(
    env: EnvLike,
    num_envs: int = 1,
    *,
    threads: int = 0,
    autoreset_mode: Union[AutoresetMode, str] = AutoresetMode.SAME_STEP,
    copy: bool = True,
    **options: Any,
) -> VectorEnv:
    """Makes several environments that are stepped together.

    Args:
        env, options: as in `make`.
        num_envs: how many.
        threads: that step them, 0: as many as there are cores. Results do not depend on it.
        autoreset_mode: what happens to an environment whose episode has ended. Gymnasium's wrappers of observations
            want NEXT_STEP; SAME_STEP needs no step that is no transition.
        copy: whether returned arrays are the caller's own.
    """
    if num_envs < 1:
        raise UsageError(f"num_envs: found {num_envs}, allowed: 1 or more")
    if threads < 0:
        raise UsageError(f"threads: found {threads}, allowed: 0 or more")
    mode = _mode(autoreset_mode)
    core = _core.VectorEnv(_source(env, options), num_envs, threads, getattr(_core.Autoreset, mode.name))
    return VectorEnv(core, num_envs, mode, copy)


def _mode(mode: Union[AutoresetMode, str]) -> AutoresetMode:
    names = [m.name for m in AutoresetMode]
    if isinstance(mode, str) and mode not in names:
        raise UsageError(f"autoreset_mode: found '{mode}', allowed: {', '.join(names)}")
    return AutoresetMode[mode] if isinstance(mode, str) else mode


def _source(env: EnvLike, options: Mapping[str, Any]) -> "_core.EnvSource":
    if isinstance(env, str) and "." not in env and not os.path.exists(env):
        _no_options(options)
        return _core.EnvSource.named(env)
    if isinstance(env, (str, os.PathLike)) and _kind(env) == "Training":
        _no_options(options)
        source = _core.EnvSource.training(os.fspath(env))
        for text in source.warnings:
            warnings.warn(text, stacklevel=3)
        return source
    given = [env] if isinstance(env, (Scenario, str, os.PathLike)) else list(env)
    scenarios = [s if isinstance(s, Scenario) else Scenario(s) for s in given]
    if not scenarios:
        raise UsageError("env: found no scenario")
    return _autoscaling(scenarios, **options)


def _autoscaling(
    scenarios: Sequence[Scenario],
    *,
    agent: str = "",
    cost: float = 1.0,
    penalty: float = 0.0,
    slo: float = 4.0,
    churn: float = 0.05,
    replica_prices: Iterable[float] = (),
    kiscaler: str = "",
    variation: Optional[Mapping[str, Tuple[float, float]]] = None,
    in_turn: bool = False,
) -> "_core.EnvSource":
    return _core.EnvSource.autoscaling(
        [s._core for s in scenarios],
        "Autoscaling-v0",
        agent,
        cost,
        penalty,
        slo,
        churn,
        list(replica_prices),
        kiscaler,
        dict(variation or {}),
        in_turn,
    )


def _no_options(options: Mapping[str, Any]) -> None:
    if options:
        raise UsageError(f"found the options {', '.join(options)}, allowed: only with scenarios")


def _kind(path: PathLike) -> str:
    return _core.document_kind(os.fspath(path))


def _spec(env: Env, what: EnvLike, options: Mapping[str, Any]) -> EnvSpec:
    about = env._core.spec()
    return EnvSpec(
        id=about["name"],
        entry_point="kisim.envs:make",
        reward_threshold=about["reward_threshold"],
        max_episode_steps=about["max_episode_steps"] or None,
        kwargs={"env": what, **options},
    )


def _observation_space(about: Mapping[str, Any]) -> spaces.Box:
    return spaces.Box(about["low"], about["high"], dtype=np.float32)


def _action_space(about: Mapping[str, Any]) -> spaces.Space:
    if about["action_kind"] == "box":
        return spaces.Box(about["action_low"], about["action_high"], dtype=np.float32)
    if about["action_kind"] == "multi_discrete":
        return spaces.MultiDiscrete(about["choices"])
    return spaces.Discrete(about["choices"][0])


def _drawn_seed(generator: np.random.Generator) -> int:
    return int(generator.integers(2**63))
