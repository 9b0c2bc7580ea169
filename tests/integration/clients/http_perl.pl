# usage: http_perl.pl URL SCRIPT: makes the script's requests with LWP.
use strict;
use warnings;
use LWP::UserAgent;
use HTTP::Request;

my ($url, $script) = @ARGV;
my $agent = LWP::UserAgent->new(keep_alive => 4);
open my $lines, '<', $script or die;
while (my $line = <$lines>) {
    my ($method, $target, $size) = split ' ', $line;
    my $request = HTTP::Request->new($method, $url . $target);
    $request->content('x' x $size) if $size;
    $request->header('Content-Type' => 'text/plain') if $size;
    my $response = $agent->request($request);
    print "$method $target ", $response->code, ' ', length($response->content), "\n";
}
