// Shows /openapi.json to people: every call with its parameters, its body and its answers.

import { ask } from '/ui/ask.js';
import { make } from '/ui/lists.js';

const at = (id) => document.getElementById(id);
const SHAPES = '#/components/schemas/';
const METHODS = ['get', 'post', 'put', 'delete', 'patch'];

let whole;

/** What a reference stands for. */
function found(item) {
  if (!item || !item.$ref) return item;
  const keys = item.$ref.slice(2).split('/');
  return keys.reduce((part, key) => part[key], whole);
}

/** What a schema allows, in words; what has a name is a link to it. */
function kind(schema) {
  const into = make('span');
  if (!schema || Object.keys(schema).every((key) => key === 'description')) {
    into.append('any JSON');
  } else if (schema.$ref) {
    const name = schema.$ref.slice(SHAPES.length);
    const link = make('a', '', name);
    link.href = `#shape-${name}`;
    into.append(link);
  } else if (schema.anyOf || schema.allOf) {
    const between = schema.anyOf ? ' or ' : ' and ';
    (schema.anyOf ?? schema.allOf).forEach((one, place) => {
      into.append(place ? between : '', one.type === 'null' ? 'null' : kind(one));
    });
  } else if (schema.type === 'array') {
    into.append('array of ', kind(schema.items));
  } else if (schema.enum) {
    into.append(make('code', '', schema.enum.join(', ')));
  } else {
    into.append([schema.type].flat().join(' or '));
    if (typeof schema.additionalProperties === 'object') {
      into.append(' of ', kind(schema.additionalProperties));
    }
  }
  return into;
}

/** Limits and defaults, in words. */
function limits(schema) {
  const words = [];
  if (!schema) return '';
  if (schema.format) words.push(schema.format);
  if (schema.minimum !== undefined && schema.maximum !== undefined) {
    words.push(`${schema.minimum} to ${schema.maximum}`);
  } else if (schema.minimum > 0) words.push(`from ${schema.minimum}`);
  if (schema.maxLength) words.push(`at most ${schema.maxLength} characters`);
  if (schema.maxItems) words.push(`at most ${schema.maxItems}`);
  if (schema.multipleOf) words.push(`a multiple of ${schema.multipleOf}`);
  if (schema.default !== undefined) words.push(`default ${schema.default}`);
  return words.join(', ');
}

function row(cells) {
  const line = make('tr');
  for (const cell of cells) {
    const box = make('td', cell.must ? 'must' : '');
    box.append(cell.must ?? cell);
    line.append(box);
  }
  return line;
}

/** A table of names, what they may be, and what they mean. */
function table(lines) {
  const box = make('div', 'scroll');
  const all = make('table');
  const body = make('tbody');
  body.append(...lines);
  all.append(body);
  box.append(all);
  return box;
}

function field(name, schema, isRequired, text) {
  const about = make('div');
  about.append(make('p', '', text ?? schema.description ?? ''));
  const more = limits(schema);
  if (more) about.append(make('small', '', more));
  const title = make('code', '', name);
  return row([title, { must: isRequired ? 'required' : '' }, kind(schema), about]);
}

/** The fields of an object, or what else it is. */
function shape(schema) {
  const box = make('div');
  if (schema.description) box.append(make('p', '', schema.description));
  for (const part of schema.allOf ?? [schema]) {
    if (part.$ref) box.append(kind(part));
    const fields = Object.entries(part.properties ?? {});
    const must = part.required ?? [];
    if (fields.length > 0) {
      box.append(table(fields.map(([name, one]) => field(name, one, must.includes(name)))));
    } else if (!part.$ref) {
      const more = limits(part);
      box.append(kind(part), more ? ` (${more})` : '');
    }
  }
  for (const example of schema.examples ?? []) {
    if (typeof example === 'object') box.append(make('pre', '', JSON.stringify(example, null, 2)));
  }
  return box;
}

function curl(method, path, call) {
  const words = ['curl -sS'];
  if (method !== 'get') words.push(`-X ${method.toUpperCase()}`);
  if (call.security.length > 0) words.push('-H "Authorization: Bearer $TOKEN"');
  const json = call.requestBody?.content['application/json']?.schema;
  const named = found(json?.items ?? json);
  const example = named?.examples?.[0];
  if (json) words.push("-H 'Content-Type: application/json'");
  if (example) {
    const body = JSON.stringify(json.items ? [example] : example);
    words.push(`\\\n  -d '${body}'`);
  }
  return `${words.join(' ')} \\\n  '${location.origin}${path}'`;
}

function answers(call) {
  return table(Object.entries(call.responses).map(([status, given]) => {
    const answer = found(given);
    const forms = make('div');
    for (const [media, { schema }] of Object.entries(answer.content ?? {})) {
      const line = make('p');
      line.append(kind(schema), ' ', make('small', '', media));
      forms.append(line);
    }
    const about = make('div');
    about.append(make('p', '', answer.description));
    const heads = Object.keys(answer.headers ?? {});
    if (heads.length > 0) about.append(make('small', '', `heads: ${heads.join(', ')}`));
    return row([make('code', '', status), forms, about]);
  }));
}

/** What a call is found by: its own words, and those of its body and its good answers. */
function wordsOf(path, method, one) {
  const own = JSON.stringify([path, method, one]);
  const named = own.match(/#\/components\/schemas\/\w+/g) ?? [];
  const shapes = named.map((name) => JSON.stringify(found({ $ref: name })));
  return own.concat(...shapes).toLowerCase();
}

function call(path, method, one) {
  const box = make('details', 'panel call');
  box.id = one.operationId;
  const head = make('summary');
  head.append(make('b', '', method.toUpperCase()), make('span', 'path', path));
  head.append(make('span', '', one.summary));
  box.append(head);
  box.dataset.words = wordsOf(path, method, one);
  // Made when it is opened: most never are.
  box.addEventListener('toggle', () => {
    if (box.childElementCount > 1) return;
    if (one.description) box.append(make('p', '', one.description));
    const scope = one.security[0]?.bearer[0];
    const needs = scope ? `Needs a token with the scope ${scope}, where tokens are used.`
      : 'Needs no token.';
    box.append(make('p', '', needs), make('pre', '', curl(method, path, one)));
    const given = (one.parameters ?? []).map(found);
    if (given.length > 0) {
      box.append(make('h3', '', 'Parameters'));
      box.append(table(given.map((it) => {
        return field(`${it.name} (${it.in})`, it.schema, it.required, it.description ?? '');
      })));
    }
    for (const [media, { schema }] of Object.entries(one.requestBody?.content ?? {})) {
      const title = make('h3', '', 'Body: ');
      title.append(kind(schema), ' ', make('small', '', media));
      box.append(title);
    }
    box.append(make('h3', '', 'Answers'), answers(one));
  });
  return box;
}

/** Opens what the address names. */
function follow() {
  const named = location.hash && at(location.hash.slice(1));
  if (named instanceof HTMLDetailsElement) {
    named.open = true;
    named.scrollIntoView();
  }
}

function show() {
  at('title').textContent = `${whole.info.title} API`;
  at('version').textContent = whole.info.version;
  at('about').append(...whole.info.description.split('\n\n').map((text) => make('p', '', text)));
  for (const tag of whole.tags) {
    const section = make('section');
    section.append(make('h2', '', `${tag.name}: ${tag.description}`));
    for (const [path, methods] of Object.entries(whole.paths)) {
      for (const method of METHODS) {
        const one = methods[method];
        if (one?.tags.includes(tag.name)) section.append(call(path, method, one));
      }
    }
    at('calls').append(section);
  }
  for (const [name, schema] of Object.entries(whole.components.schemas)) {
    const box = make('details', 'panel call');
    box.id = `shape-${name}`;
    box.dataset.words = JSON.stringify([name, schema]).toLowerCase();
    const head = make('summary');
    head.append(make('span', 'path', name));
    box.append(head, shape(schema));
    at('shapes').append(box);
  }
}

at('find').addEventListener('input', () => {
  const words = at('find').value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const box of document.querySelectorAll('.call')) {
    box.hidden = !words.every((word) => box.dataset.words.includes(word));
  }
});
window.addEventListener('hashchange', follow);

try {
  whole = await ask('GET', '/openapi.json');
  show();
  follow();
} catch (trouble) {
  at('trouble').textContent = trouble.message;
  at('trouble').hidden = false;
}
