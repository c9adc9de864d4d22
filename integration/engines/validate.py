"""Check a document against its specification by the reference libraries of others.

  validate.py spdx|cyclonedx|slsa|kubernetes FILE

Exits with 1 and says what is wrong.
"""

import json
import sys


def spdx(file):
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    return [f"{m.validation_message} ({m.context.spdx_id})" for m in validate_full_spdx_document(parse_file(file))]


def cyclonedx(file):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    with open(file, encoding="utf-8") as text:
        found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.read())
    return [] if found is None else [str(found)]


def kubernetes(file):
    """A List of objects, against the strict schemas of each version of Kubernetes, which know no other field."""
    from importlib.resources import files
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    with open(file, encoding="utf-8") as text:
        objects = json.load(text)["items"]
    wrong = []
    for folder in files("kubernetes_validate").joinpath("kubernetes-json-schema").iterdir():
        if not folder.name.endswith("-strict"):
            continue

        def schema(name, folder=folder):
            return json.loads(folder.joinpath(name + ".json").read_text(encoding="utf-8"))

        registry = (Resource.from_contents(schema("_definitions")) @ Registry()).crawl()
        validators = {}
        for number, one in enumerate(objects):
            name = f"{one['kind']}-{one['apiVersion'].replace('/', '-')}".lower()
            if name not in validators:
                validators[name] = Draft202012Validator(schema(name), registry=registry)
            for error in validators[name].iter_errors(one):
                wrong.append(f"{folder.name}: object {number}, {one['kind']}: {list(error.path)}: {error.message}")
    return wrong


def slsa(file):
    from google.protobuf.json_format import ParseDict
    from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
    from in_toto_attestation.v1.statement import Statement
    from in_toto_attestation.v1.statement_pb2 import Statement as Message

    with open(file, encoding="utf-8") as text:
        document = json.load(text)
    # Fields that the specifications don't have, and values of another shape, are errors of these.
    Statement.copy_from_pb(ParseDict(document, Message())).validate()
    provenance = ParseDict(document["predicate"], Provenance())
    required = {
        "buildDefinition.buildType": provenance.build_definition.build_type,
        "buildDefinition.externalParameters": provenance.build_definition.external_parameters.fields,
        "runDetails.builder.id": provenance.run_details.builder.id,
    }
    return [f"{name} is missing" for name, value in required.items() if not value]


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("spdx", "cyclonedx", "slsa", "kubernetes"):
        sys.exit(__doc__)
    problems = globals()[sys.argv[1]](sys.argv[2])
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
