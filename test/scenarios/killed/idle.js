setInterval(() => {}, 60000);
console.log('ready');
