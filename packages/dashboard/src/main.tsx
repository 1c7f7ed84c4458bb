import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import './style/tokens.css';
import './style/base.css';
import './style/shell.css';
import './style/parts.css';
import './style/views.css';
import { App } from './views/app.tsx';

const root = document.getElementById('app');
if (root !== null) render(<App />, root);
