# SPDX-License-Identifier: Apache-2.0
"""Collectors: each module reads one source and says what it is in terms of the catalogue."""
