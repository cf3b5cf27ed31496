// Reads a folder's entries and holds on to every handle.
const fs = require('fs');
const handles = [];
for (let i = 0; ; i++) {
  handles.push(fs.openSync(__filename, 'r'));
}
