"""The shapes of requests: what may be sent, within which bounds, and how a wrong one is explained.

A field that was not sent is UNSET, which is not the same as null. Numbers must be finite, unknown fields are refused with a
suggestion. The same declarations make the OpenAPI document.
"""
