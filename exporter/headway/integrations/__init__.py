"""Drop-ins for what scripts have already: change the import, and the script reports. Each needs the package it stands in for.

- ``tqdm.py``       tqdm, trange: the bar of tqdm, and a process of Headway
- ``rich.py``       track, Progress: those of rich, and a process for each task
- ``logging.py``    ReporterHandler: log records become lines of a process
- ``following.py``  a reporter that asks a bar how far it is, and which bars are open
"""
