# SPDX-License-Identifier: Apache-2.0
"""The whole pipe on one machine: agent, Prometheus with the rules, Alertmanager, a webhook, a back end for spans."""
