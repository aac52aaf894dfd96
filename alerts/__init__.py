# SPDX-License-Identifier: Apache-2.0
"""Prometheus alert and recording rules, one module a subject, built from catalogue objects through agent.promql."""
