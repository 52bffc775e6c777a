# SPDX-License-Identifier: Apache-2.0
"""What a client is made to do inside its own process; each returns the figures of one run."""
