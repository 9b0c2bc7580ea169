# usage: webrick_front.rb PORT
require 'net/http'
require 'webrick'

PEER = URI(ENV['TEST_PEER'])
server = WEBrick::HTTPServer.new(Port: ARGV[0].to_i, BindAddress: '127.0.0.1', AccessLog: [],
                                 Logger: WEBrick::Log.new(File::NULL))
server.mount_proc('/') do |request, answer|
  _, _, name, _, count = request.path.split('/')
  count.to_i.times { |number| Net::HTTP.get(PEER.host, "/c/#{name}/#{number}", PEER.port) }
  answer.body = name
end
trap('TERM') { server.shutdown }
server.start
