// The search takes a leading dash for "without this word", so that `--video-every` finds nothing.
// Here the two dashes of an option are left out of what it is asked.
{
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...rest) {
    const isQuery = typeof message?.data === "string";
    const data = isQuery ? message.data.replace(/(^|\s)--(?=\w)/g, "$1") : message?.data;
    return post.call(this, isQuery ? { ...message, data } : message, ...rest);
  };
}
