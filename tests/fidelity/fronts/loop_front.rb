# usage: loop_front.rb PORT: one thread, which waits for clients and for the answers to its calls in IO.select.
require "socket"

HOST, PEER = ENV["TEST_PEER"].delete_prefix("http://").split(":")
ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Work = Struct.new(:client, :name, :count, :number, :received)

def ask(peer, work)
  peer.write("GET /c/#{work.name}/#{work.number} HTTP/1.1\r\nHost: peer\r\n\r\n")
end

def read_requests(client, received, calls)
  while (rest = received.index("\r\n\r\n"))
    _, _, name, _, count = received.slice!(0, rest + 4).split[1].split("/")
    peer = TCPSocket.new(HOST, PEER)
    calls[peer] = Work.new(client, name, count.to_i, 0, +"")
    ask(peer, calls[peer])
  end
end

def read_answer(peer, work, calls)
  return unless work.received.include?("\r\n\r\n") && work.received.end_with?("/#{work.number}\n")

  work.received.clear
  work.number += 1
  return ask(peer, work) if work.number < work.count

  calls.delete(peer)
  peer.close
  work.client.write(ANSWER)
end

listener = TCPServer.new("127.0.0.1", ARGV[0].to_i)
clients = {}
calls = {}
loop do
  IO.select([listener, *clients.keys, *calls.keys]).first.each do |ready|
    next clients[listener.accept_nonblock] = +"" if ready == listener
    next if (bytes = ready.read_nonblock(65_536, exception: false)) == :wait_readable

    if (work = calls[ready])
      work.received << bytes.to_s
      read_answer(ready, work, calls)
    elsif bytes
      read_requests(ready, clients[ready] << bytes, calls)
    else
      clients.delete(ready)
      ready.close
    end
  end
end
