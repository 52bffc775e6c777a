# SPDX-License-Identifier: Apache-2.0
"""Brokers nobody here wrote, for tests, benchmarks and the demo: real Apache Kafka and librdkafka's mock cluster."""
