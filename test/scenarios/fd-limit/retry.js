// Is refused a descriptor, waits for others to be returned, goes on, and ends well: graceful-fs's way.
const fs = require('fs');
const held = [];
let refused = 0;
for (;;) {
  try { held.push(fs.openSync('/dev/null', 'r')); }
  catch (e) { if (e.code !== 'EMFILE') throw e; refused++; while (held.length) fs.closeSync(held.pop()); break; }
}
fs.readFileSync('/etc/hostname');
console.log('refused', refused, 'time, all read in the end');
