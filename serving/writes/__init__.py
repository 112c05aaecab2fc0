"""The routes that write: push, write to the online store, materialize.

Workers take the requests and hand them to the writer process, the only one that imports Feast.
"""
