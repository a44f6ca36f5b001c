"""The API's own machinery: schemas, checked requests, the envelope of responses, the document.

A package's routes are in `calapp/<package>/api.py`, on an `Api` blueprint:

    blueprint = Api("webhooks_api", tag="Webhooks")

    @blueprint.operation("POST", "/v2/webhooks", access=WRITE, body=Wanted, response=Shown, status=201)
    def create(body: Wanted) -> Shown:

The function gets what was checked (`body`, `query`, the parts of the path) and returns what is wrapped and
sent. `/v2/openapi.json` is made from the same declaration.
"""
