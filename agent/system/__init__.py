# SPDX-License-Identifier: Apache-2.0
"""The only code that touches the machine. Values leave it in base units."""
