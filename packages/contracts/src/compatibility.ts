import type { DescriptorProto, FieldDescriptorProto, FileDescriptorSet } from '@bufbuild/protobuf/wkt';

/**
 * What of our contracts a service of the neighbouring release would not understand any more, in words; empty when both understand each other. Anything may be
 * added; what is removed must be reserved, so that its number is never used for something else.
 */
export function incompatibilities(before: FileDescriptorSet, now: FileDescriptorSet): string[] {
  const [old, fresh] = [tablesOf(before), tablesOf(now)];
  const found: string[] = [];
  for (const [name, message] of old.messages) {
    const same = fresh.messages.get(name);
    if (same === undefined) found.push(`message ${name} is gone`);
    else found.push(...fieldsOf(name, message, same));
  }
  for (const [name, values] of old.enums) {
    const same = fresh.enums.get(name);
    if (same === undefined) found.push(`enum ${name} is gone`);
    else
      for (const [number, value] of values)
        if (same.get(number) !== value) found.push(`${name}: ${value} = ${number} is ${same.get(number) ?? 'gone'}`);
  }
  for (const [name, method] of old.methods) {
    const same = fresh.methods.get(name);
    if (same === undefined) found.push(`method ${name} is gone`);
    else if (same !== method) found.push(`method ${name} was (${method}) and is (${same})`);
  }
  return found;
}

function fieldsOf(name: string, before: DescriptorProto, now: DescriptorProto): string[] {
  const found: string[] = [];
  for (const field of before.field) {
    const same = now.field.find(({ number }) => number === field.number);
    if (same === undefined) {
      const isReserved = now.reservedRange.some(({ start, end }) => field.number >= start && field.number < end);
      if (!isReserved) found.push(`${name}.${field.name} = ${field.number} is gone and not reserved`);
    } else if (formOf(same, now) !== formOf(field, before))
      found.push(`${name}: ${formOf(field, before)} is now ${formOf(same, now)}`);
  }
  return found;
}

/** All that both sides must agree on about a field. The name is no part of the wire; a number whose name changes means something else, as a rule. */
const formOf = (field: FieldDescriptorProto, message: DescriptorProto): string => {
  const oneof = field.proto3Optional ? 'optional' : message.oneofDecl[field.oneofIndex]?.name;
  const isInOneof = Object.hasOwn(field, 'oneofIndex');
  return [field.label, field.type, field.typeName, field.name, field.number, isInOneof ? oneof : ''].join(' ').trim();
};

interface Tables {
  readonly messages: Map<string, DescriptorProto>;
  readonly enums: Map<string, Map<number, string>>;
  readonly methods: Map<string, string>;
}

function tablesOf({ file }: FileDescriptorSet): Tables {
  const tables: Tables = { messages: new Map(), enums: new Map(), methods: new Map() };
  for (const { package: at, messageType, enumType, service } of file) {
    addMessages(tables, at, messageType);
    addEnums(tables, at, enumType);
    for (const { name, method } of service)
      for (const one of method) {
        const kind = [one.clientStreaming && 'stream', one.serverStreaming && 'answers stream'].filter(Boolean);
        tables.methods.set(`${at}.${name}.${one.name}`, [one.inputType, one.outputType, ...kind].join(' '));
      }
  }
  return tables;
}

function addMessages(tables: Tables, at: string, messages: readonly DescriptorProto[]): void {
  for (const message of messages) {
    const name = `${at}.${message.name}`;
    tables.messages.set(name, message);
    addMessages(tables, name, message.nestedType);
    addEnums(tables, name, message.enumType);
  }
}

function addEnums(
  { enums }: Tables,
  at: string,
  types: readonly { name: string; value: readonly { name: string; number: number }[] }[],
): void {
  for (const { name, value } of types) enums.set(`${at}.${name}`, new Map(value.map((one) => [one.number, one.name])));
}
