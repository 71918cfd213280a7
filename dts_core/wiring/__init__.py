"""The only place that picks concrete adapters: by the URLs of the configuration, one module for each kind of process.

Each imports what its process needs and no more: a worker loads neither the server nor a store.
"""
