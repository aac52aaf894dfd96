# SPDX-License-Identifier: Apache-2.0
"""The commands. Each is a composition root of its own: it makes the parts and puts them together."""
