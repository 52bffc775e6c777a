# SPDX-License-Identifier: Apache-2.0
"""`make demo`: 336,776 flights through KafkaProducer to a broker, and back out of confluent-kafka's consumer."""
