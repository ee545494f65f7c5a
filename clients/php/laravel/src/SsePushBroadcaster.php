<?php
// SPDX-License-Identifier: Apache-2.0
declare(strict_types=1);

namespace SsePush\Laravel;

use Illuminate\Broadcasting\Broadcasters\Broadcaster;
use Illuminate\Broadcasting\Broadcasters\UsePusherChannelConventions;
use Illuminate\Broadcasting\BroadcastException;
use Illuminate\Support\Arr;
use SsePush;
use SsePushEvent;
use SsePushResult;
use Symfony\Component\HttpKernel\Exception\AccessDeniedHttpException;
use Symfony\Component\HttpKernel\Exception\HttpException;

/**
 * Broadcasts through the proxy. A page has one stream for all its channels. A guarded channel is added to the page's connection
 * once routes/channels.php lets its user in.
 */
final class SsePushBroadcaster extends Broadcaster
{
    use UsePusherChannelConventions;

    /** The attribute of a request that only asks whether its user may be in the channel. */
    public const WHISPER = 'sse_push.whisper';

    public function __construct(private Members $members)
    {
    }

    /** {@inheritdoc} */
    public function auth($request)
    {
        $channel = $request->channel_name;
        if (!is_string($channel) || !$this->isGuardedChannel($channel)) {
            throw new AccessDeniedHttpException();
        }
        $name = $this->normalizeChannelName($channel);
        if (!$this->retrieveUser($request, $name)) {
            throw new AccessDeniedHttpException();
        }
        return $this->verifyUserCanAccessChannel($request, $name);
    }

    /**
     * Enters the channel: the connection hears it from now on. With `leave`, it leaves it.
     *
     * @return array{member?: array{id: string, info: mixed}, here?: list<array{id: string, info: mixed}>}
     */
    public function validAuthenticationResponse($request, $result)
    {
        if ($request->attributes->get(self::WHISPER) === true) {
            return [];
        }
        $channel = $request->channel_name;
        $connection = (string) $request->socket_id;
        $topic = ChannelName::topic($channel);
        if ($request->boolean('leave')) {
            $this->check(SsePush::removeTopic($connection, $topic));
            if (ChannelName::isPresence($channel) && $this->members->leave($channel, $id = $this->idOf($request, $channel))) {
                $this->tell($channel, 'leaving', ['id' => $id], $connection);
            }
            return [];
        }
        if (!ChannelName::isPresence($channel)) {
            $this->check(SsePush::addTopics($connection, [$topic]));
            return [];
        }
        $this->check(SsePush::addTopics($connection, [$topic, ChannelName::USERS]));
        $member = ['id' => $this->idOf($request, $channel), 'info' => $result];
        [$members, $new] = $this->members->enter($channel, $member['id'], $result);
        if ($new) {
            $this->tell($channel, 'joining', $member, $connection);
        }
        return ['member' => $member, 'here' => array_map(
            static fn (string|int $id): array => ['id' => (string) $id, 'info' => $members[$id]],
            array_keys($members),
        )];
    }

    /**
     * {@inheritdoc} One request publishes to all channels, so that a proxy that goes away leaves out none of them alone.
     */
    public function broadcast(array $channels, $event, array $payload = [])
    {
        $socket = Arr::pull($payload, 'socket');
        $events = array_map(fn (string $channel): SsePushEvent => $this->event($channel, $event, $payload, $socket), $this->formatChannels($channels));
        foreach ($events === [] ? [] : SsePush::batch($events) as $result) {
            if (!$result->ok) {
                throw new BroadcastException("sse_push: $result->detail");
            }
        }
    }

    /** Sends an event to a channel, but not to the connection that it comes from. */
    public function send(string $channel, string $event, mixed $payload, ?string $except): SsePushResult
    {
        return SsePush::batch([$this->event($channel, $event, $payload, $except)])[0];
    }

    private function event(string $channel, string $event, mixed $payload, ?string $except): SsePushEvent
    {
        return SsePush::topic(ChannelName::topic($channel))->exclude($except)
            ->event('laravel', ['channel' => $channel, 'event' => $event, 'payload' => $payload]);
    }

    private function tell(string $channel, string $what, array $member, string $except): void
    {
        $this->check($this->send($channel, "sse_push:$what", $member, $except));
    }

    private function check(SsePushResult $result): void
    {
        if (!$result->ok) {
            throw new HttpException($result->status === 404 ? 404 : 502, "sse_push: $result->detail");
        }
    }

    private function idOf($request, string $channel): string
    {
        $user = $this->retrieveUser($request, $this->normalizeChannelName($channel));
        return (string) (method_exists($user, 'getAuthIdentifierForBroadcasting') ? $user->getAuthIdentifierForBroadcasting() : $user->getAuthIdentifier());
    }
}
