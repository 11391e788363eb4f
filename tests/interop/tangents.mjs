// node tangents.mjs MODULES FILE...: writes FILE.tangents, what MikkTSpace makes of the corners in FILE
// A corner is eight float32 (position, normal, UV), a tangent four.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [modules, ...files] = process.argv.slice(2);
const { generateTangents } = createRequire(`${modules}/`)('mikktspace');
for (const file of files) {
  const corners = new Float32Array(new Uint8Array(readFileSync(file)).buffer);
  const columns = (from, to) => corners.filter((_, index) => index % 8 >= from && index % 8 < to);
  const found = generateTangents(columns(0, 3), columns(3, 6), columns(6, 8));
  writeFileSync(`${file}.tangents`, new Uint8Array(found.buffer, found.byteOffset, found.byteLength));
}
