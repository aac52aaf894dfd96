# SPDX-License-Identifier: Apache-2.0
"""Divides the energy of GPUs, and their other counters, among the requests that ran on them; see ledger.py."""
