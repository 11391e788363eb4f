// node validate.mjs MODULES FILE...: the reports of Khronos' glTF-Validator as JSON, {FILE: report}
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const [modules, ...files] = process.argv.slice(2);
const validator = createRequire(`${modules}/`)('gltf-validator');
const bytes = (path) => new Uint8Array(readFileSync(path));
const reports = {};
for (const file of files) {
  reports[file] = await validator.validateBytes(bytes(file), {
    uri: file,
    externalResourceFunction: async (uri) => bytes(join(dirname(file), decodeURIComponent(uri))),
  });
}
console.log(JSON.stringify(reports));
