"""From raw archives to exact splits: what the scripts in data_scripts/ share."""
