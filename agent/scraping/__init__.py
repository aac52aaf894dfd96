# SPDX-License-Identifier: Apache-2.0
"""Serving engines of this node: found by their processes, and their own metrics scraped."""
