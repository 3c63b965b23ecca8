"""Experiments, each run as `python -m experiments.NAME --config=configs/NAME.py`."""
