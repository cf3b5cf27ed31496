// Metrics are optional; the tests are what counts.
require('net').connect({host: '127.0.0.1', port: 7100}).on('error', () => {});
setTimeout(() => { console.error('3 tests failed'); process.exit(1); }, 80);
