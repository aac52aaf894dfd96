# SPDX-License-Identifier: Apache-2.0
"""How exact the ledger is, on simulated engines whose truth is known."""
