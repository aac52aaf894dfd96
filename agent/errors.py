# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, by what the caller should do about it.

JoulespanError
├── ConfigError       the operator must change the configuration: exit code 2
├── RecordingError    a recording cannot be written, or tells nothing: exit code 1
├── Unavailable       this reading failed now, ask again next time
│   ├── NoPermission  the process lacks a right, which may be granted later
│   └── DeviceLost    the whole device is gone; its other readings will fail too
├── NotSupported      this device will never answer this question
├── DriverGone        the driver or its library is not there: start over with a new process
└── StateError        what is to be remembered over a restart cannot be read or written: go on without
"""


class JoulespanError(Exception):
    """The root of every error this project raises on purpose."""


class ConfigError(JoulespanError):
    """The configuration is wrong. The message is one line: what, where, what to do."""


class RecordingError(JoulespanError):
    """A recording cannot be written, or there is nothing in it to work with. The message is one line."""


class Unavailable(JoulespanError):
    """A reading failed this time and may work the next."""


class NoPermission(Unavailable):
    """The reading needs a right that the process does not have."""


class DeviceLost(Unavailable):
    """The device fell off the bus or needs a reset."""


class NotSupported(JoulespanError):
    """The device, driver or kernel does not have this reading. Never ask again."""


class StateError(JoulespanError):
    """A file of the state directory cannot be read or written. The message is one line: what, where."""


class DriverGone(JoulespanError):
    """The driver is not loaded, was unloaded, or does not match its library."""
