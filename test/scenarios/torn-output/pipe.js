// Three processes write JSON lines to one pipe, some longer than a pipe takes at once. Then exit code 3.
const { fork } = require('child_process');
if (process.argv[2]) {
  const long = 'order '.repeat(20000);
  let i = 0;
  (function some() {
    for (let k = 0; k < 100; k++, i++) {
      console.log(JSON.stringify({ time: new Date().toISOString(), level: 'info', worker: process.argv[2], msg: 'handled ' + i, body: i % 20 ? '' : long }));
    }
    if (i < 800) setImmediate(some);
  })();
} else {
  let left = 3;
  for (let k = 1; k <= 3; k++) fork(__filename, ['worker' + k]).on('exit', () => { if (--left === 0) process.exit(3); });
}
