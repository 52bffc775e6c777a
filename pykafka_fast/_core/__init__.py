# SPDX-License-Identifier: Apache-2.0
"""The compiled doors to the C library in csrc/, one module per noun."""

import importlib.util
import os

if importlib.util.find_spec(f"{__name__}.future") is None:
    raise ImportError(
        f"the C part of pykafka_fast is not built in {os.path.dirname(os.path.dirname(__file__))}. If that is the "
        "source folder and pykafka_fast is installed, start Python in another folder; to use the source folder itself, "
        "run 'python setup.py build_ext --inplace' there")
