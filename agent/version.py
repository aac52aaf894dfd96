# SPDX-License-Identifier: Apache-2.0
"""The version of this release."""

VERSION = "0.1.0"
