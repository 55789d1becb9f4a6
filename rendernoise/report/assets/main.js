// Put the page together, then show what the address asks for.

drawHeader();
drawSummary();
drawViewer();
drawCurves();
drawDetails();
listenToPointers();
document.addEventListener('keydown', onKey);
if (location.hash.length > 1) readHash();
// The first draw covers everything, whatever the address changed.
for (const name of Object.keys(state)) pending.add(name);
flush();
