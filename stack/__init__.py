"""Starts and ends Headway natively, without containers: what `make up`, `make down` and their like call.

Standard library only, because it runs before the virtual environment exists.
"""
