# SPDX-License-Identifier: Apache-2.0
"""Grafana dashboards, one module each, built from catalogue objects through agent.promql."""
