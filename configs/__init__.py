"""Configs: `get_config(mode)` of each file gives the settings of a set of experiments."""
