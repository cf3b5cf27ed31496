const { spawn } = require('child_process');
for (let i = 0; i < 300; i++) spawn('sleep', ['20']);
