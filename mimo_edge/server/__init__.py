"""A speech server on this machine that other programs know how to talk to.

`app` puts it together: `safety` looks at every request first, `service` says whose turn it is with
the model, and each endpoint has a module. Needs the extra `mimo-edge[server]`.
"""
