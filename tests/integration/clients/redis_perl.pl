# usage: redis_perl.pl HOST PORT SCRIPT: runs the script's commands with Redis.pm, then some of its own.
use strict;
use warnings;
use Redis;

my ($host, $port, $script) = @ARGV;
my @options = (server => "$host:$port");
push @options, ssl => 1, SSL_ca_file => $ENV{TEST_CERTIFICATE} if $ENV{TEST_CERTIFICATE};
my $client = Redis->new(@options);

sub text {
    my ($value) = @_;
    my $text = !defined $value ? 'nil' : ref $value ? '[' . join(' ', map { text($_) } @$value) . ']' : $value;
    return length($text) > 200 ? length($text) . ' characters' : $text;
}

open my $lines, '<', $script or die;
while (my $line = <$lines>) {
    chomp $line;
    my @words = map { /^@(\d+)$/ ? 'x' x $1 : $_ } split ' ', $line;
    my $name = shift @words;
    my @reply = eval { $client->__std_cmd($name, @words) };
    print "$name ", $@ ? 'error ' . (split /,/, $@)[0] : text(\@reply), "\n";
}
my @replies;
$client->set("p:$_", $_, sub { push @replies, text($_[0]) }) for 0 .. 9;
$client->wait_all_responses;
print "pipeline @replies\n";
$client->multi;
$client->set('t', 1);
$client->incr('t');
print 'transaction ', text([$client->exec]), "\n";
my $subscriber = Redis->new(@options);
$subscriber->subscribe('news', sub { print "message $_[0]\n" });
$client->publish('news', "item $_") for 0 .. 2;
my $got = 0;
$got += $subscriber->wait_for_messages(1) while $got < 3;
$subscriber->quit;
$client->quit;
