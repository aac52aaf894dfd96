# SPDX-License-Identifier: Apache-2.0
"""Asks NVML, remembers what a device does not have, and says which call is under way."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import pynvml

from agent.errors import DeviceLost, DriverGone, NoPermission, Unavailable
from agent.system.nvml.batch import FieldError
from agent.system.nvml.device import Notes

T = TypeVar("T")

NOT_SUPPORTED = "NotSupported"
_PERMANENT = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_INVALID_ARGUMENT,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_DEPRECATED,
    }
)
_LOST = frozenset({pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED})
_GONE = frozenset(
    {
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    }
)


class Progress(Protocol):
    """Told of every call before it is made, so that a call that never returns can be named."""

    def enter(self, device: int, call: str) -> None:
        """Note the call that starts."""
        ...


class NoProgress:
    """Notes nothing."""

    def enter(self, device: int, call: str) -> None:
        """See Progress."""


def translate(error: pynvml.NVMLError) -> Exception:
    """Turn an NVML error into ours: DriverGone, DeviceLost, NoPermission or Unavailable."""
    code: int = error.value
    if code in _GONE:
        return DriverGone(str(error))
    if code in _LOST:
        return DeviceLost(str(error))
    if code == pynvml.NVML_ERROR_NO_PERMISSION:
        return NoPermission(str(error))
    return Unavailable(str(error))


def explain(code: int) -> FieldError:
    """Explain the return code of a field; see batch.Explain."""
    if code in _PERMANENT:
        return FieldError(NOT_SUPPORTED, permanent=True)
    error = translate(pynvml.NVMLError(code))
    if isinstance(error, DeviceLost | DriverGone):
        raise error
    return FieldError(type(error).__name__, permanent=False)


class Asker:
    """Asks one device."""

    def __init__(self, index: int, notes: Notes, progress: Progress) -> None:
        """Ask for the device with this NVML index."""
        self._index = index
        self._notes = notes
        self._progress = progress
        self._unsupported: set[str] = set()

    def __call__(self, reading: str, call: Callable[..., T], *args: object) -> T | None:
        """Make the call unless the device is known not to have it; None when there is no answer."""
        if reading in self._unsupported:
            return None
        self._progress.enter(self._index, reading)
        try:
            value = call(*args)
        except pynvml.NVMLError as error:
            self._failed(reading, error)
            return None
        self._notes.support[reading] = "ok"
        return value

    def checked(self, reading: str, function: Callable[..., int], *args: object) -> None:
        """Call a function that returns an NVML code; raise the translation of one that is not success."""
        self._progress.enter(self._index, reading)
        code = function(*args)
        if code != pynvml.NVML_SUCCESS:
            raise translate(pynvml.NVMLError(code))

    def forget(self) -> None:
        """Ask again what was not supported: the device was set up anew."""
        self._unsupported.clear()

    def _failed(self, reading: str, error: pynvml.NVMLError) -> None:
        if error.value in _PERMANENT:
            self._unsupported.add(reading)
            self._notes.support[reading] = NOT_SUPPORTED
            return
        ours = translate(error)
        if isinstance(ours, DeviceLost | DriverGone):
            raise ours from error
        self._notes.fail(reading, type(ours).__name__, str(error))
