// Watches one folder after the other; the watches of the user are used up (ENOSPC, "no space left on device").
const fs = require('fs');
for (let i = 0; i < 64; i++) {
  fs.mkdirSync(`d${i}`);
  fs.watch(`d${i}`, () => {});
}
