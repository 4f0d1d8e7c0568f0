"""Trained policies."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Union

import numpy as np

from . import _core
from .scenario import PathLike


class Policy:
    """A policy that `kisim train` has written. It is an agent for `kisim.run(scenario, agent=policy)`, too, where each
    run wants one of its own if the network has a memory.

    Raises:
        IoError: the file cannot be read. InputError: it holds no policy.
    """

    def __init__(self, path: PathLike):
        self._core = _core.Policy(os.fspath(path))

    @property
    def name(self) -> str:
        """Of the document or environment that it was trained in."""
        return self._core.name

    @property
    def algorithm(self) -> str:
        """"ppo", "dqn" …"""
        return self._core.algorithm

    @property
    def feature_names(self) -> List[str]:
        """What each element of an observation is."""
        return self._core.feature_names

    @property
    def masked(self) -> bool:
        """It was trained with masks and wants them."""
        return self._core.masked

    @property
    def provenance(self) -> Dict[str, str]:
        """Where it comes from: version of kisim, environment, seed, steps …"""
        return self._core.provenance

    def act(self, observation: Any, mask: Optional[Any] = None) -> Union[int, np.ndarray]:
        """The likeliest action that is allowed.

        Args:
            observation: float32[len(feature_names)], not normalised.
            mask: bool[choices of all components]; None: all are allowed.

        Returns:
            An int for a Discrete space, int64[components] for a MultiDiscrete one, float32[components] for a Box.

        Raises:
            UsageError: a wrong number of elements.
        """
        action = self._core.act(observation, mask)
        if self._core.action_kind == "box":
            return action
        return int(action[0]) if self._core.action_kind == "discrete" else action.astype(np.int64)

    __call__ = act

    def outputs(self, observation: Any) -> np.ndarray:
        """What the network makes of an observation: a logit for each choice of each component, or the mean of each."""
        return self._core.outputs(observation)

    def reset(self) -> None:
        """Begins an episode: a network with a memory forgets the one before. Each `act` or `outputs` is a step of it."""
        self._core.reset()

    def onnx(self, path: PathLike) -> None:
        """Writes it as an ONNX model (opset 17), with its normaliser and its choice of the likeliest action.

        Raises:
            IoError: the file cannot be written.
        """
        self._core.write_onnx(os.fspath(path))
