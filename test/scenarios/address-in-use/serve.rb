require 'socket'
begin
  TCPServer.new('127.0.0.1', ARGV[0].to_i)
rescue SystemCallError
  warn 'another instance seems to be running, leaving'
  exit 75
end
