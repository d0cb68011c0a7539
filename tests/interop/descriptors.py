"""Compare our Flower messages with those of the flwr release that this interpreter has.

    protoc --include_imports --descriptor_set_out=ours.binpb --proto_path=proto proto/flwr/proto/*.proto
    .cache/flwr/1.39.0/bin/python tests/interop/descriptors.py ours.binpb [--complete]

Prints one line for each disagreement and ends with 1 if there is any. Proved for everything we declare that the release
has: the numbers, types and labels of its fields, map keys and values, enum values, and the signatures of its methods. With
--complete also: we lack no field of the messages we declare (true for the newest release only).
"""

import importlib
import pkgutil
import sys
from pathlib import Path

import flwr.proto
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FieldDescriptor

# Ours alone: layouts that a release has under another name.
OTHER_NAMES = {
    "flwr.proto.NodeInfo123": "flwr.proto.NodeInfo",
    "flwr.proto.ListNodesResponse123": "flwr.proto.ListNodesResponse",
}
# The same number and wire type under an older name, or another meaning that our protos describe.
RENAMED = {
    ("flwr.proto.Run", "primary_task_type"): {"run_type"},
    ("flwr.proto.GetLoginDetailsResponse", "authn_type"): {"auth_type"},
    ("flwr.proto.StartRunRequest", "app_spec"): {"app_id"},
    ("flwr.proto.StartRunRequest", "override_federation_config"): {"federation_options"},
}
# Releases whose field of this number is something else altogether; how we deal with it stands in the protos.
OTHER_LAYOUT = {
    "flwr.proto.NodeInfo": lambda theirs: "owner_name" not in theirs.fields_by_name,
    "flwr.proto.NodeInfo123": lambda theirs: "owner_name" in theirs.fields_by_name,
    "flwr.proto.Federation": lambda theirs: "members" not in theirs.fields_by_name,
}


def load_theirs():
    """Every message, enum and service of the installed release, by full name."""
    found = {}

    def add(message):
        found[message.full_name] = message
        for nested in message.nested_types:
            add(nested)
        found.update((enum.full_name, enum) for enum in message.enum_types)

    for module in pkgutil.iter_modules(flwr.proto.__path__):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(f"flwr.proto.{module.name}").DESCRIPTOR
            for message in file.message_types_by_name.values():
                add(message)
            found.update((enum.full_name, enum) for enum in file.enum_types_by_name.values())
            found.update((service.full_name, service) for service in file.services_by_name.values())
    return found


def load_ours(path):
    pool = descriptor_pool.DescriptorPool()
    names = []
    for file in descriptor_pb2.FileDescriptorSet.FromString(Path(path).read_bytes()).file:
        pool.Add(file)
        names.append(file.name)
    return [pool.FindFileByName(name) for name in names]


def is_list(field):
    repeated = getattr(field, "is_repeated", None)  # newer protobuf releases warn about .label
    return field.label == FieldDescriptor.LABEL_REPEATED if repeated is None else repeated


def shape(field):
    """What decides how a field looks on the wire and whether its absence can be told."""
    kind = field.message_type.full_name if field.message_type else field.enum_type.full_name if field.enum_type else None
    return {
        "type": field.type,
        "of": OTHER_NAMES.get(kind, kind),
        "repeated": is_list(field),
        "presence": field.has_presence,
        "oneof": field.containing_oneof and field.containing_oneof.name,
    }


def compare_message(ours, theirs, complete, differences):
    if OTHER_LAYOUT.get(ours.full_name, lambda _: False)(theirs):
        return 0
    compared = 0
    for field in ours.fields:
        other = theirs.fields_by_number.get(field.number)
        if other is None:
            continue
        compared += 1
        where = f"{ours.full_name}.{field.name} = {field.number}"
        older = RENAMED.get((ours.full_name, field.name), set())
        if other.name != field.name and other.name not in older:
            differences.append(f"{where}: is called {other.name} there")
        mine, its = shape(field), shape(other)
        if other.name == "federation_options":
            mine, its = ({**s, "of": None} for s in (mine, its))
        if mine != its:
            differences.append(f"{where}: {mine} here, {its} there")
    if complete:
        for other in theirs.fields:
            if other.number not in ours.fields_by_number:
                differences.append(f"{ours.full_name} lacks {other.name} = {other.number}")
    for nested in ours.nested_types:
        other = theirs.nested_types_by_name.get(nested.name)
        if other is None:
            # A message used only by fields that the release lacks is no disagreement.
            used = [field for field in ours.fields if field.message_type == nested]
            if any(field.number in theirs.fields_by_number for field in used):
                differences.append(f"{nested.full_name} does not exist there")
        else:
            compared += compare_message(nested, other, complete, differences)
    return compared


def compare_enum(ours, theirs, differences):
    mine, its = ({value.name: value.number for value in enum.values} for enum in (ours, theirs))
    if mine != its:
        differences.append(f"{ours.full_name}: {mine} here, {its} there")


def compare_service(ours, theirs, differences):
    compared = 0
    for method in ours.methods:
        other = theirs.methods_by_name.get(method.name)
        if other is None:
            continue  # of other releases; the protos say which
        compared += 1
        signatures = [
            (m.input_type.full_name, m.client_streaming, m.output_type.full_name, m.server_streaming)
            for m in (method, other)
        ]
        if signatures[0] != signatures[1]:
            differences.append(f"{method.full_name}: {signatures[0]} here, {signatures[1]} there")
    return compared


def main():
    theirs, differences, compared, absent = load_theirs(), [], 0, []
    complete = "--complete" in sys.argv[2:]
    for file in load_ours(sys.argv[1]):
        for ours in file.message_types_by_name.values():
            other = theirs.get(OTHER_NAMES.get(ours.full_name, ours.full_name))
            if other is None:
                absent.append(ours.name)
            else:
                # Only what is called the same there can be asked for completeness.
                compared += compare_message(ours, other, complete and ours.full_name == other.full_name, differences)
        for ours in file.enum_types_by_name.values():
            if ours.full_name in theirs:
                compare_enum(ours, theirs[ours.full_name], differences)
        for ours in file.services_by_name.values():
            if ours.full_name in theirs:
                compared += compare_service(ours, theirs[ours.full_name], differences)
    for difference in differences:
        print(difference)
    print(f"compared {compared} fields and methods; not there: {', '.join(sorted(absent)) or 'nothing'}", file=sys.stderr)
    if compared < 100:
        sys.exit("that is too little to prove anything")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
