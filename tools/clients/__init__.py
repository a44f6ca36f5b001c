"""`make clients`: programs that others wrote for Cal.com or for webhooks, run unchanged against Calapp.

`installing` gets them from npm and PyPI into a temporary folder, `stage` is the Calapp that they meet,
`checks` has one function for each, `programs` what runs in their own interpreters, and `calls` the requests
of those that are in no registry.
"""
