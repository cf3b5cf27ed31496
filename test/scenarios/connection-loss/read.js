const s = require('net').connect({host: '127.0.0.1', port: 7200});
s.write('feed\n');
s.on('data', () => {});
