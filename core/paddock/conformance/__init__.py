"""The conformance suite: what a server of environments must do, as black-box tests.

Run it with ``paddock check URL``, or with pytest for its options::

    pytest -p paddock.conformance.plugin --pyargs paddock.conformance --env-url URL

``requirements`` is the list of what is asked for, ``test_*`` proves each of them over HTTP and
WebSocket, and ``plugin`` turns the outcomes into a report. The suite speaks raw JSON and shares no
code with Paddock's server or client, so it can be wrong only in its own way; it runs unchanged
against OpenEnv's server.
"""
